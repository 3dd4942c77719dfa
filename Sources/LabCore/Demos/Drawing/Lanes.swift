/// The threads and processes of the parties: what each is called, and in which call it waits.
import Wire

struct Lane: Hashable, Sendable {
    var party: Int
    var process: Int32
    var thread: Int32

    init(_ call: Call, _ party: Int) {
        self.party = party
        process = call.process
        thread = call.thread
    }
}

struct Lanes {
    /// Of each party, in the order in which they were heard of.
    private var lanes: [[Lane]] = []
    private var children: [[Int32]] = []
    /// The numbers of threads besides the main one.
    private var threads: [Lane: Int] = [:]
    /// Calls that have not returned: a signal handler's stands above the one that it interrupts.
    private var open: [Lane: [Call]] = [:]
    private var lastNames: [Lane: String] = [:]
    private var shownWaiting: [Lane: UInt64] = [:]

    mutating func join() {
        lanes.append([])
        children.append([])
    }

    mutating func entered(_ call: Call, _ party: Int) { open[meet(call, party), default: []].append(call) }

    mutating func returned(_ call: Call, _ party: Int) {
        let lane = meet(call, party)
        open[lane]?.removeAll { $0.entered == call.entered }
        lastNames[lane] = call.name
        if call.name == "fork", call.result > 0 { born(Int32(call.result), party) }
    }

    private mutating func meet(_ call: Call, _ party: Int) -> Lane {
        let lane = Lane(call, party)
        if !lanes[party].contains(lane) {
            lanes[party].append(lane)
            if call.process != lanes[party][0].process { born(call.process, party) }
        }
        return lane
    }

    private mutating func born(_ child: Int32, _ party: Int) {
        if !children[party].contains(child) { children[party].append(child) }
    }

    // MARK: Names

    /// `C1` for the first child process; `T1` for the first thread besides the main one, or the one that serves the first
    /// connection, since threads do not start in the order in which they were made; nothing for the main thread.
    ///
    /// - Parameter ordinal: of the connection that the call is made on.
    mutating func name(_ call: Call, _ party: Int, ordinal: Int?) -> String {
        guard let main = lanes[party].first else { return "" }
        if call.process != main.process { return childName(call.process, party) }
        let lane = Lane(call, party)
        guard lane.thread != main.thread else { return "" }
        if let number = threads[lane] { return "T\(number)" }
        let taken = Set(threads.filter { $0.key.party == party }.values)
        let number = ordinal.flatMap { taken.contains($0) ? nil : $0 } ?? (taken.max() ?? 0) + 1
        threads[lane] = number
        return "T\(number)"
    }

    /// Which child the process number is that a call returned.
    func note(_ call: Call, _ party: Int) -> String {
        guard ["fork", "waitpid", "wait"].contains(call.name), call.result > 0 else { return "" }
        return " " + childName(Int32(call.result), party)
    }

    private func childName(_ process: Int32, _ party: Int) -> String {
        "C\((children[party].firstIndex(of: process) ?? 0) + 1)"
    }

    // MARK: Waiting

    /// Every thread of the party waits in a call, or has come to its end: the last thing that it did was to close.
    func isQuiet(_ party: Int) -> Bool {
        !lanes[party].isEmpty
            && lanes[party].allSatisfy { open[$0]?.isEmpty == false || lastNames[$0] == "close" }
    }

    /// The calls in which threads of the party wait, and have not been shown waiting.
    mutating func takeWaiting(_ party: Int) -> [Call] {
        var waiting: [Call] = []
        for lane in lanes[party] {
            guard let call = open[lane]?.last, shownWaiting[lane] != call.entered else { continue }
            shownWaiting[lane] = call.entered
            waiting.append(call)
        }
        return waiting
    }
}
