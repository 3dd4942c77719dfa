import Course
import Foundation
import Solution05
import Sockets

/// Everything that is known of one connection.
private struct Person {
    var number: Int
    var descriptor: Int32
    /// Bytes that came and are not a whole frame yet.
    var heard: [UInt8] = []
    /// Bytes that are to be sent, from `start` on.
    var queue: [UInt8] = []
    var start = 0
    /// Says no more and hears no more, but gets what waits.
    var isGoing = false
    /// Our side is ended.
    var isQuiet = false
    /// Its side is ended.
    var hasEnded = false
    var isGone = false
    var isMember = false
    var due: Milliseconds
}

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    var lobby = Lobby(rules)
    var pause: Milliseconds = 0

    while true {
        // What is asked is put together anew in each round.
        var now = monotonicMilliseconds()
        var questions: [pollfd] = []
        var next: Milliseconds?
        let isPausing = pause > now
        questions.append(pollfd(fd: listener, events: isPausing ? 0 : Int16(POLLIN), revents: 0))
        if isPausing { next = pause }
        for index in lobby.people.indices {
            let person = lobby.people[index]
            var events: Int16 = 0
            if !person.hasEnded { events |= Int16(POLLIN) }
            if person.queue.count > person.start { events |= Int16(POLLOUT) }
            questions.append(pollfd(fd: person.descriptor, events: events, revents: 0))
            if !person.isMember || person.isGoing { next = min(next ?? person.due, person.due) }
        }
        var wait: Int32 = -1
        if let next { wait = Int32(clamping: max(0, next - now)) }
        if poll(&questions, nfds_t(questions.count), wait) < 0 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }

        // Nobody is taken from the list or put into it while it is gone through.
        for index in lobby.people.indices where questions[index + 1].revents != 0 {
            if Int32(questions[index + 1].revents) & ~Int32(POLLOUT) != 0 { lobby.hear(index) }
            lobby.push(index)
            lobby.carryOut()
        }

        now = monotonicMilliseconds()
        for index in lobby.people.indices {
            let person = lobby.people[index]
            if (!person.isMember || person.isGoing) && person.due <= now { lobby.drop(index) }
        }
        lobby.carryOut()
        lobby.tidyUp()

        if questions[0].revents != 0 {
            accepting: while true {
                switch try acceptClient(listener) {
                case .client(let descriptor): lobby.enter(descriptor)
                case .nobody: break accepting
                case .noRoom:
                    pause = monotonicMilliseconds() + 100
                    break accepting
                }
            }
        }
    }
}

private struct Lobby {
    let rules: RoomRules
    var room: Room
    var people: [Person] = []
    var lastNumber = 0
    /// Deliveries that have to be made, the oldest first.
    var mail: [Delivery] = []

    init(_ rules: RoomRules) {
        self.rules = rules
        room = Room(rules: rules)
    }

    mutating func enter(_ descriptor: Int32) {
        lastNumber += 1
        people.append(
            Person(
                number: lastNumber, descriptor: descriptor, due: monotonicMilliseconds() + rules.loginPatience))
    }

    /// People are in the order of their numbers: halve the list until it is found.
    func find(_ number: Int) -> Int? {
        var low = 0
        var high = people.count
        while low < high {
            let middle = (low + high) / 2
            if people[middle].number < number { low = middle + 1 } else { high = middle }
        }
        if low < people.count && people[low].number == number { return low }
        return nil
    }

    mutating func hear(_ index: Int) {
        if people[index].isGone || people[index].hasEnded { return }
        var piece = [UInt8](repeating: 0, count: 2048)
        let count = recv(people[index].descriptor, &piece, piece.count, 0)
        if count < 0 {
            if errno == EINTR || errno == EAGAIN { return }
            drop(index)
            return
        }
        if count == 0 {
            people[index].hasEnded = true
            goAway(index)
            return
        }
        if people[index].isGoing { return }
        people[index].heard.append(contentsOf: piece[0..<count])
        handleFrames(index)
    }

    mutating func handleFrames(_ index: Int) {
        var place = 0
        while !people[index].isGoing && !people[index].isGone {
            let rest = people[index].heard.count - place
            if rest < 4 { break }
            var length = 0
            for offset in 0..<4 { length = length * 256 + Int(people[index].heard[place + offset]) }
            if length > Lesson14.frameLimit {
                mail.append(.send(.error(.tooLong), to: [people[index].number]))
                carryOut()
                goAway(index)
                carryOut()
                break
            }
            if length == 0 {
                // Only to keep the line open.
                place += 4
                continue
            }
            if rest < 4 + length { break }
            let frame = Array(people[index].heard[(place + 4)..<(place + 4 + length)])
            place += 4 + length
            handle(frame, people[index].number)
            carryOut()
        }
        people[index].heard.removeFirst(min(place, people[index].heard.count))
    }

    mutating func handle(_ frame: [UInt8], _ number: Int) {
        do {
            let message = try decodeMessage(frame)
            let time = Date().timeIntervalSince1970
            let deliveries = room.receive(message, from: number, at: time)
            mail.append(contentsOf: deliveries)
        } catch {
            var problem = ChatProblem.badMessage
            if case MessageError.unknownType = error { problem = .unknownType }
            mail.append(.send(.error(problem), to: [number]))
        }
    }

    /// It has left the room, but gets what waits for it.
    mutating func goAway(_ index: Int) {
        if people[index].isGoing || people[index].isGone { return }
        people[index].isGoing = true
        people[index].due = monotonicMilliseconds() + 4000
        let deliveries = room.leave(people[index].number)
        mail.append(contentsOf: deliveries)
    }

    /// It is gone, with whatever waits. Closed when the round is over.
    mutating func drop(_ index: Int) {
        if people[index].isGone { return }
        people[index].isGone = true
        people[index].queue = []
        people[index].start = 0
        let deliveries = room.leave(people[index].number)
        mail.append(contentsOf: deliveries)
    }

    mutating func carryOut() {
        var next = 0
        while next < mail.count {
            let delivery = mail[next]
            next += 1
            if case .close(let number) = delivery, let index = find(number) { goAway(index) }
            if case .send(let message, let numbers) = delivery {
                let json = encodeMessage(message)
                var frame: [UInt8] = []
                for shift in [24, 16, 8, 0] { frame.append(UInt8(json.count >> shift & 0xFF)) }
                frame.append(contentsOf: json)
                let isWelcome = message == .loginResponse(refusal: nil)
                for number in numbers {
                    guard let index = find(number) else { continue }
                    if people[index].isGoing || people[index].isGone { continue }
                    if isWelcome { people[index].isMember = true }
                    people[index].queue.append(contentsOf: frame)
                    if people[index].queue.count - people[index].start > rules.queueLimit {
                        push(index)
                        if people[index].queue.count - people[index].start > rules.queueLimit { drop(index) }
                    }
                }
            }
        }
        mail = []
    }

    /// What the kernel takes now.
    mutating func push(_ index: Int) {
        while !people[index].isGone && people[index].start < people[index].queue.count {
            let descriptor = people[index].descriptor
            let start = people[index].start
            let count = people[index].queue.withUnsafeBytes { bytes -> Int in
                send(descriptor, bytes.baseAddress! + start, bytes.count - start, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN { break }
                drop(index)
                return
            }
            people[index].start += count
        }
        if people[index].start == people[index].queue.count {
            people[index].queue = []
            people[index].start = 0
        } else if people[index].start > 100_000 {
            people[index].queue.removeFirst(people[index].start)
            people[index].start = 0
        }
    }

    /// Ends what can be ended.
    mutating func tidyUp() {
        for index in people.indices where people[index].isGoing && !people[index].isQuiet && !people[index].isGone {
            if people[index].queue.isEmpty {
                shutdown(people[index].descriptor, Int32(SHUT_WR))
                people[index].isQuiet = true
                people[index].due = monotonicMilliseconds() + 2000
            }
        }
        for index in people.indices where people[index].isQuiet && people[index].hasEnded {
            people[index].isGone = true
        }
        for person in people where person.isGone { close(person.descriptor) }
        people.removeAll { $0.isGone }
    }
}
