// byte-order: the same number in memory and on the wire.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let byteOrder = Demo(
        "byte-order", Lesson01.slug,
        "the same number in memory and on the wire",
        "同一个数：在内存里和在网线上", port: nil, [.mine],
        isShow: true
    ) { play in
        let functions = Caller(play, play.subject)
        play.introduce(
            say(
                "A number is one thing, its bytes in memory another: machines differ in which byte comes first. On the wire "
                    + "it is always the most significant one.",
                "数是一回事，它在内存里的字节是另一回事：哪个字节在前，各种机器并不相同。在网络上，最高位的字节总是在前。"))
        try play.showEach(
            examples: ["53", "0x12345678"], prompt: say("number> ", "数> "),
            hint: say("Type a number, as 12000 or 0x2ee0 (Ctrl-D ends).", "输入一个数，例如 12000 或 0x2ee0（Ctrl-D 结束）。")
        ) { text in
            guard let number = number(text) else {
                throw NoAnswer(
                    text: say(
                        "\(text) is no number from 0 to \(UInt64.max): write 12000 or 0x2ee0.",
                        "\(text) 不是 0 到 \(UInt64.max) 的数：请写成 12000 或 0x2ee0 的样子。"),
                    exit: .usage)
            }
            let picture = try Picture(number, functions)
            play.screen.print(play.options.quiet ? [picture.summary] : picture.lines)
        }
    }
}

private func number(_ text: String) -> UInt64? {
    let lower = text.lowercased()
    return lower.hasPrefix("0x") ? UInt64(lower.dropFirst(2), radix: 16) : UInt64(lower)
}

private struct Picture {
    let number: UInt64
    let bits: Int
    let memory: [UInt8]
    let wire: [UInt8]
    /// What a reader that forgets to turn the bytes round takes it for.
    let misread: UInt64
    let isLittleEndian: Bool

    /// The smallest of the three sizes that holds it.
    init(_ number: UInt64, _ functions: Caller) throws {
        self.number = number
        bits = number <= 0xffff ? 16 : number <= 0xffff_ffff ? 32 : 64
        let none = Endpoint(host: "", port: 0)
        misread = try [try functions.call("host-to-network-\(bits)", [.unsigned(number)], server: none)].unsigned(0)
        guard case .bool(let little) = try functions.call("host-is-little-endian", [], server: none) else {
            throw NoAnswer(text: "host-is-little-endian")
        }
        isLittleEndian = little
        memory = Picture.bytes(of: number, bits)
        // What the function returned, as it lies in memory, is what send will send.
        wire = Picture.bytes(of: misread, bits)
    }

    /// As they lie in this machine's memory.
    private static func bytes(of number: UInt64, _ bits: Int) -> [UInt8] {
        switch bits {
        case 16: return withUnsafeBytes(of: UInt16(truncatingIfNeeded: number)) { Array($0) }
        case 32: return withUnsafeBytes(of: UInt32(truncatingIfNeeded: number)) { Array($0) }
        default: return withUnsafeBytes(of: number) { Array($0) }
        }
    }

    private var digits: String {
        let hex = String(number, radix: 16)
        return "0x" + String(repeating: "0", count: bits / 4 - hex.count) + hex
    }

    private func spaced(_ bytes: [UInt8]) -> String { bytes.map(hex).joined(separator: " ") }

    var summary: StyledText {
        StyledText(
            say(
                "\(number): \(spaced(memory)) in memory, \(spaced(wire)) on the wire",
                "\(number)：内存中 \(spaced(memory))，网络上 \(spaced(wire))"))
    }

    var lines: [StyledText] {
        let function = bits == 16 ? "htons" : bits == 32 ? "htonl" : "htobe64"
        let order =
            isLittleEndian
            ? say("this machine: least significant byte first", "本机：最低位字节在前")
            : say("this machine: most significant byte first", "本机：最高位字节在前")
        var lines = [
            StyledText("\(number)", .strong) + StyledText(" = \(digits), UInt\(bits)"), StyledText(),
        ]
        lines += box(say("in memory", "内存中"), memory, Style(.yellow), order)
        lines.append(StyledText(String(repeating: " ", count: 14) + "↓ \(function)", .code))
        lines += box(
            say("on the wire", "网络上"), wire, Style(.green),
            say("network order: most significant byte first", "网络字节序：最高位字节在前"))
        lines.append(StyledText())
        let wrong =
            misread == number
            ? say("Its bytes read the same both ways.", "它的字节正着读、反着读都一样。")
            : say(
                "Forget \(function), and the other side reads \(misread) instead of \(number).",
                "忘了 \(function)，对方读到的就是 \(misread)，而不是 \(number)。")
        lines += [StyledText(wrong), StyledText()]
        return lines
    }

    private func box(_ label: String, _ bytes: [UInt8], _ style: Style, _ meaning: String) -> [StyledText] {
        let edge = { (left: String, middle: String, right: String) in
            StyledText(
                String(repeating: " ", count: 14) + left
                    + bytes.map { _ in "────" }.joined(separator: middle) + right, .quiet)
        }
        var row = StyledText("  " + label.padded(to: 12))
        for byte in bytes { row += StyledText("│", .quiet) + StyledText(" \(hex(byte)) ", style) }
        row += StyledText("│", .quiet)
        // Eight bytes leave no room beside them.
        let beside = bytes.count <= 4
        if beside { row += StyledText("  " + meaning, .quiet) }
        let below = beside ? [] : [StyledText(String(repeating: " ", count: 15) + meaning, .quiet)]
        return [edge("┌", "┬", "┐"), row, edge("└", "┴", "┘")] + below
    }
}

extension Play {
    /// Shows examples, then what a person types; in a pipe what comes in, or the examples if nothing does.
    func showEach(
        examples: [String], prompt: String, hint: String, _ show: (_ text: String) throws -> Void
    ) throws {
        var lines = 0
        func showOne(_ text: String) throws {
            lines += 1
            do { try show(text) } catch let failure as NoAnswer {
                guard screen.isInteractive else { throw CommandError(failure.exit, failure.text) }
                screen.complain(failure.text)
            }
        }
        if screen.isInteractive {
            for example in examples { try showOne(example) }
            screen.print(hint, .quiet)
        }
        // `lab run byte-order > file` on a terminal asks for nothing.
        if screen.isInteractive || !screen.inputIsTerminal {
            while let line = screen.readLine(prompt: prompt) {
                let text = String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespaces)
                if !text.isEmpty { try showOne(text) }
            }
        }
        if lines == 0 { for example in examples { try showOne(example) } }
    }
}
