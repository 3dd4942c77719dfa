// A peer that nobody here wrote: Python's `websockets`, where it is installed. It runs beside the check, and ends with it.
import Course
import Foundation
import GraderKit
import Sockets

final class PythonPeer {
    let address: SocketAddress
    private let process: Process
    private let input: Pipe

    /// Sends every message back; ends when its standard input does.
    private static let echo = """
        import asyncio, sys, websockets
        async def echo(socket, path=None):
            async for message in socket:
                await socket.send(message)
        async def main():
            async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
                print(server.sockets[0].getsockname()[1], flush=True)
                await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        asyncio.run(main())
        """

    /// An echo server.
    static func echoServer(_ trial: Trial) throws -> PythonPeer { try PythonPeer(echo, trial) }

    private init(_ program: String, _ trial: Trial) throws {
        let interpreter = try PythonPeer.interpreter(with: "websockets")
        process = Process()
        process.executableURL = URL(fileURLWithPath: interpreter)
        process.arguments = ["-c", program]
        let (input, output) = (Pipe(), Pipe())
        self.input = input
        (process.standardInput, process.standardOutput) = (input, output)
        process.standardError = FileHandle.nullDevice
        try process.run()
        // The first line is the port. The end of the output ends the wait, and so does the process when it ends.
        var line = Data()
        while !line.contains(UInt8(ascii: "\n")) {
            let more = output.fileHandleForReading.availableData
            if more.isEmpty { break }
            line += more
        }
        guard let port = UInt16(String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
        else {
            process.terminate()
            process.waitUntilExit()
            throw LabError("\(interpreter) did not start a WebSocket server")
        }
        address = try SocketAddress(host: "127.0.0.1", port: port)
        trial.note(say("\(interpreter): websockets listens on \(address)", "\(interpreter)：websockets 在 \(address) 监听"))
    }

    func stop() {
        try? input.fileHandleForWriting.close()
        process.terminate()
        process.waitUntilExit()
    }

    /// The first Python here that has the module; the system's own may have what another one in front of it lacks.
    static func interpreter(with module: String) throws -> String {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        for folder in folders + ["/usr/bin"] {
            let candidate = folder + "/python3"
            guard FileManager.default.isExecutableFile(atPath: candidate) else { continue }
            let process = Process()
            process.executableURL = URL(fileURLWithPath: candidate)
            process.arguments = ["-c", "import \(module)"]
            (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
            guard (try? process.run()) != nil else { continue }
            process.waitUntilExit()
            if process.terminationStatus == 0 { return candidate }
        }
        throw Unavailable(
            say(
                "no python3 here has `\(module)`: sudo apt-get install python3-\(module), or pip install \(module)",
                "这里的 python3 都没有 `\(module)`：请运行 sudo apt-get install python3-\(module)，或 pip install \(module)"))
    }
}
