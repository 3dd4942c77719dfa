import Course
import Foundation
import Sockets

func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    try await withThrowingDiscardingTaskGroup { group in
        while !Task.isCancelled {
            let connection = try await onAThread { try acceptClient(listener) }
            group.addTask {
                try? await onAThread { serve(connection) }
                close(connection)
            }
        }
    }
}

private func onAThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result { try body() }) }
    }
}
