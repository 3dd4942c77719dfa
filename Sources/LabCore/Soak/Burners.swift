// Threads that keep every core busy with nothing. They are threads of this very process: however it ends, they end.
import Foundation
import Synchronization

final class Burners: Sendable {
    private let isOver = Atomic(false)

    init(count: Int = ProcessInfo.processInfo.activeProcessorCount) {
        for _ in 0..<count {
            Thread.detachNewThread { [self] in
                var number: UInt64 = 1
                while !isOver.load(ordering: .relaxed) {
                    for _ in 0..<100_000 { number = number &* 6_364_136_223_846_793_005 &+ 1 }
                }
                // Its value must be wanted by somebody, or there is nothing to compute.
                if number == 0 { isOver.store(true, ordering: .relaxed) }
            }
        }
    }

    func stop() { isOver.store(true, ordering: .relaxed) }
}
