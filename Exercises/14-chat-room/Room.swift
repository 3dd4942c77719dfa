// Exercise 14 room: the rules of the chat, without sockets, clocks and bytes.
//
//     receive(.login("ann"), from: 1)   ->   to 1: login_response     to all others: user_joined
//     receive(.chat("hi"), from: 1)     ->   to 1 and all others: chat_message 1
//
// Read: Lessons/14-chat-room/PROTOCOL.md, Lessons/14-chat-room/README.md#the-room      Check: lab check 14 room
import Course

/// Connections have numbers that the server gives them; a number is never given twice.
struct Room: ChatRoom {
    private let rules: RoomRules

    // Step 1: what must a room remember? Who is here, under which name; what was said; which id was the last.

    init(rules: RoomRules) {
        self.rules = rules
    }

    /// - Parameter message: any message: a client may send what only a server should.
    /// - Parameter time: for the timestamp of a chat message.
    /// - Returns: what is to be delivered, in this order.
    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        // Step 2: login. Is the name allowed, and free? Names are the same if their bytes are: two Strings can be equal
        // in
        //     Swift and have other bytes. Then: the answer, the history, and user_joined to all others.

        // Step 3: chat. Members only. The next id, to all, and into the history: rules.historyLength of them, no more.

        // Step 4: logout: the answer, user_left to the others, and .close(connection).

        // Step 5: everything else is an error that changes nothing: PROTOCOL.md says which.
        todo("step 1: what does a room remember?")
    }

    /// The connection is gone: its stream has ended, or it broke, or was dropped. It may never have logged in.
    mutating func leave(_ connection: Int) -> [Delivery] {
        // Step 6: who has to hear of it? Whose name is free now?
        todo("step 6: leave")
    }
}
