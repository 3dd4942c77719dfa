import Course
import Foundation
import Solution09
import XCTest

/// A real browser without a window, driven over its DevTools protocol. That is JSON over WebSocket, so the client of lesson 09
/// is all it takes.
final class Chromium {
    /// A tab.
    struct Page {
        fileprivate let browser: Chromium
        fileprivate let session: String
    }

    private let process = Process()
    private let ended = DispatchSemaphore(value: 0)
    private let profile: URL
    private let client: any WebSocketClient
    private var lastID = 0
    private var events: [(session: String?, method: String)] = []

    struct Trouble: Error, CustomStringConvertible {
        var description: String
    }

    /// Skips the test where there is no Chromium.
    init(_ test: XCTestCase) throws {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        let names = ["chromium", "chromium-browser", "google-chrome"]
        let found = folders.flatMap { folder in names.map { "\(folder)/\($0)" } }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
        guard let found else { throw XCTSkip("there is no browser here: sudo apt-get install chromium") }
        profile = FileManager.default.temporaryDirectory.appendingPathComponent("chromium-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: profile, withIntermediateDirectories: true)
        process.executableURL = URL(fileURLWithPath: found)
        process.arguments = [
            // The pages are our own; and in a container, or as root, its sandbox cannot be had.
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--no-default-browser-check", "--disable-extensions", "--disable-sync", "--disable-component-update",
            "--disable-background-networking", "--disable-background-timer-throttling", "--no-proxy-server",
            "--lang=en-US", "--window-size=800,600", "--remote-debugging-port=0", "--user-data-dir=\(profile.path)",
            "about:blank",
        ]
        let errors = Pipe()
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, errors)
        process.terminationHandler = { [ended] _ in ended.signal() }
        try process.run()
        let address: URL
        do { address = try Chromium.address(in: errors.fileHandleForReading) } catch {
            process.terminate()
            throw error
        }
        // Whatever it says from now on is of no interest, but it must not have to wait for a reader.
        errors.fileHandleForReading.readabilityHandler = { if $0.availableData.isEmpty { $0.readabilityHandler = nil } }
        let key = Data((0..<16).map { _ in UInt8.random(in: 0...255) }).base64EncodedString()
        let port = UInt16(address.port ?? 0)
        do {
            client = try reference.openClient(
                "127.0.0.1", port, HandshakeRequest(host: "127.0.0.1:\(port)", path: address.path, key: key))
        } catch {
            process.terminate()
            throw error
        }
        nonisolated(unsafe) let browser = self
        test.addTeardownBlock { browser.end() }
    }

    /// `DevTools listening on ws://127.0.0.1:36841/devtools/browser/…`
    private static func address(in output: FileHandle) throws -> URL {
        var text = ""
        while true {
            let more = output.availableData
            guard !more.isEmpty else { throw Trouble(description: "the browser has ended: \(text)") }
            text += String(decoding: more, as: UTF8.self)
            guard let start = text.range(of: "DevTools listening on "),
                let end = text[start.upperBound...].firstIndex(of: "\n"),
                let address = URL(string: String(text[start.upperBound..<end]))
            else { continue }
            return address
        }
    }

    private func end() {
        // It ends in the midst of its answer.
        _ = try? call("Browser.close")
        if ended.wait(timeout: .now() + 10) == .timedOut { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
        let deadline = Date(timeIntervalSinceNow: 10)
        // Its helpers may be a moment behind it.
        while (try? FileManager.default.removeItem(at: profile)) == nil && Date() < deadline { usleep(10_000) }
    }

    // MARK: The protocol

    @discardableResult
    private func call(_ method: String, _ parameters: [String: Any] = [:], in session: String? = nil) throws
        -> [String: Any]
    {
        lastID += 1
        var message: [String: Any] = ["id": lastID, "method": method, "params": parameters]
        if let session { message["sessionId"] = session }
        try client.send(.text, Array(try JSONSerialization.data(withJSONObject: message)))
        while true {
            let answer = try receive()
            guard answer["id"] as? Int == lastID else { continue }
            if let error = answer["error"] { throw Trouble(description: "\(method): \(error)") }
            return answer["result"] as? [String: Any] ?? [:]
        }
    }

    private func receive() throws -> [String: Any] {
        guard case .text(let bytes) = try client.receive(),
            let message = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
        else { throw Trouble(description: "the browser has closed the connection") }
        if let method = message["method"] as? String { events.append((message["sessionId"] as? String, method)) }
        return message
    }

    private func wait(for method: String, in session: String) throws {
        while !events.contains(where: { $0.session == session && $0.method == method }) { _ = try receive() }
        events.removeAll { $0.session == session && $0.method == method }
    }

    /// Opens a page and waits until it is loaded.
    func open(_ url: String) throws -> Page {
        let target = try call("Target.createTarget", ["url": "about:blank"])["targetId"] as? String ?? ""
        let attached = try call("Target.attachToTarget", ["targetId": target, "flatten": true])
        let session = attached["sessionId"] as? String ?? ""
        try call("Page.enable", in: session)
        // Of several pages one has the focus; keys are for each of them here.
        try call("Emulation.setFocusEmulationEnabled", ["enabled": true], in: session)
        events = []
        try call("Page.navigate", ["url": url], in: session)
        try wait(for: "Page.loadEventFired", in: session)
        return Page(browser: self, session: session)
    }

    fileprivate func evaluate(_ script: String, in session: String) throws -> Any? {
        let answer = try call(
            "Runtime.evaluate", ["expression": script, "awaitPromise": true, "returnByValue": true], in: session)
        if let exception = answer["exceptionDetails"] { throw Trouble(description: "\(script): \(exception)") }
        return (answer["result"] as? [String: Any])?["value"]
    }

    fileprivate func press(_ key: String, code: Int, text: String = "", shift: Bool = false, in session: String) throws
    {
        for type in [text.isEmpty ? "rawKeyDown" : "keyDown", "keyUp"] {
            var event: [String: Any] = [
                "type": type, "key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": shift ? 8 : 0,
            ]
            if type == "keyDown" { event["text"] = text }
            try call("Input.dispatchKeyEvent", event, in: session)
        }
    }

    fileprivate func insert(_ text: String, in session: String) throws {
        try call("Page.bringToFront", in: session)
        try call("Input.insertText", ["text": text], in: session)
    }

    fileprivate func emulate(_ scheme: String, in session: String) throws {
        let features = [["name": "prefers-color-scheme", "value": scheme]]
        try call("Emulation.setEmulatedMedia", ["features": features], in: session)
    }
}

extension Chromium.Page {
    /// The value of an expression, or of what a promise comes to.
    func value(_ script: String) throws -> String { "\(try browser.evaluate(script, in: session) ?? "")" }

    /// Waits until an expression is true, and looks again whenever something in the page changes.
    func wait(until condition: String) throws {
        _ = try browser.evaluate(
            """
            new Promise((done, failed) => {
              const look = () => { if (\(condition)) done(true); };
              new MutationObserver(look).observe(document, {
                subtree: true, childList: true, attributes: true, characterData: true });
              setTimeout(() => failed("not in time: " + document.body.innerText), 20000);
              look();
            })
            """, in: session)
    }

    /// Types as a person does, into whatever has the focus.
    func type(_ text: String) throws { try browser.insert(text, in: session) }
    func pressEnter() throws { try browser.press("Enter", code: 13, text: "\r", in: session) }
    func pressTab(back: Bool = false) throws { try browser.press("Tab", code: 9, shift: back, in: session) }
    func prefer(colorScheme: String) throws { try browser.emulate(colorScheme, in: session) }
}
