// A call in a column that is 28 wide on a projector: as much of it as fits, and its outcome always.
import Course
import Foundation
import Sockets
import Wire

/// `recvfrom(4, …, 65535) = 5`, in at most `room` columns. The bytes are left out: they stand on the arrow beside it.
func columnText(_ call: Call, room: Int) -> String {
    let outcome = outcomeText(call)
    let forms = argumentForms(call).map { "\(call.name)(\($0))" }
    // What is said with the outcome is worth more than an argument; that a call gave back 0 is worth the least.
    let plain =
        call.returned != nil && call.result == 0 && !call.isReceive && !call.isWait && call.pendingError == nil
    for form in forms {
        if displayWidth(form + outcome) <= room { return form + outcome }
        if plain && displayWidth(form) <= room { return form }
    }
    let shortest = call.descriptor >= 0 ? "\(call.name)(\(call.descriptor))\(outcome)" : "\(call.name)()" + outcome
    return StyledText(shortest).truncated(to: room).plain
}

private func outcomeText(_ call: Call) -> String {
    guard call.returned != nil else { return " ⋯" }
    if let error = call.pendingError { return " → \(error == 0 ? "0" : errorName(error))" }
    return call.result == -1 && call.error != 0 ? " = -1 \(errorName(call.error))" : " = \(call.result)"
}

/// The arguments, from all of them to next to none.
private func argumentForms(_ call: Call) -> [String] {
    let fd = "\(call.descriptor)"
    switch call.name {
    case "socket":
        // `AF_INET, SOCK_DGRAM`
        let both = inside(call.callText)
        let type = both.split(separator: " ").last.map(String.init) ?? "…"
        return [both, "…, \(type)", "…"]
    case "bind", "connect":
        let address = call.given.map(\.description) ?? "?"
        return ["\(fd), \(address)", address, fd]
    case "send", "write", "sendmsg", "writev": return ["\(fd), …, \(call.length)", fd]
    case "sendto":
        let to = call.given.map { ", \($0)" } ?? ""
        return ["\(fd), …, \(call.length)\(to)", "\(fd), …, \(call.length)", fd]
    case "recv", "recvfrom", "recvmsg", "read", "readv": return ["\(fd), …, \(call.length)", fd]
    case "setsockopt", "getsockopt":
        let words = inside(call.callText).split(separator: ", ").map(String.init)
        let option = words.count > 1 ? words[1] : "…"
        return [words.joined(separator: ", "), "\(fd), \(option)", option, fd]
    case "select", "pselect":
        let all = inside(call.callText)
        // `{3, 5}, {7}, 100 ms`: without the timeout, then without the sets.
        let sets = all.range(of: ", ", options: .backwards).map { String(all[..<$0.lowerBound]) }
        return [all, sets ?? all, all.components(separatedBy: ", ").last ?? all, "…"]
    case "fcntl":
        let all = inside(call.callText)
        // Whoever sets O_NONBLOCK sets it beside what was set: that is worth the least.
        let brief = all.replacingOccurrences(of: "O_RDWR|", with: "")
        return [all, brief, String(brief.drop { $0 != " " }.dropFirst()), fd]
    case "shutdown", "listen": return [inside(call.callText), fd]
    default:
        let all = inside(call.callText)
        return all.isEmpty ? [""] : [all, call.descriptor >= 0 ? fd : "…"]
    }
}

/// What stands between the parentheses of `name(…)`.
private func inside(_ text: String) -> String {
    guard let open = text.firstIndex(of: "("), text.hasSuffix(")") else { return "" }
    return String(text[text.index(after: open)...].dropLast())
}

/// The bytes as a person reads them: text in quotes where they are text, in any script; else escapes as in Swift and C.
///
/// - Parameter total: how many there were: `bytes` may be only the first of them.
/// - Parameter room: columns, quotes and the ellipsis among them.
func shownText(_ bytes: [UInt8], total: Int, room: Int) -> String {
    var text = readable(bytes, isCut: total > bytes.count) ?? escaped(bytes)
    var isCut = total > bytes.count
    while displayWidth(text) + 2 + (isCut ? 1 : 0) > room, !text.isEmpty {
        text.removeLast()
        isCut = true
    }
    return "\"\(text)\"" + (isCut ? "…" : "")
}

/// The bytes are text.
func isReadable(_ bytes: [UInt8], total: Int) -> Bool { readable(bytes, isCut: total > bytes.count) != nil }

/// Nil if the bytes are not UTF-8, or have control characters other than the ends of lines and tabs.
private func readable(_ bytes: [UInt8], isCut: Bool) -> String? {
    // What was cut off may be the end of a character.
    for dropped in 0...(isCut ? min(3, bytes.count) : 0) {
        let part = bytes.dropLast(dropped)
        let text = String(decoding: part, as: UTF8.self)
        guard text.utf8.elementsEqual(part) else { continue }
        var shown = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": shown += "\\n"
            case "\r": shown += "\\r"
            case "\t": shown += "\\t"
            case "\"": shown += "\\\""
            case "\\": shown += "\\\\"
            default:
                guard visible(String(scalar)) == String(scalar) else { return nil }
                shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }
    return nil
}

private func escaped(_ bytes: [UInt8]) -> String {
    String(quoted(bytes, most: bytes.count).dropFirst().dropLast())
}
