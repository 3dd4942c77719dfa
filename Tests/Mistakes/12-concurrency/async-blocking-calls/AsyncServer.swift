import Course
import Sockets

func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    try await withThrowingDiscardingTaskGroup { group in
        while !Task.isCancelled {
            let connection = try acceptClient(listener)
            group.addTask {
                serve(connection)
                close(connection)
            }
        }
    }
}
