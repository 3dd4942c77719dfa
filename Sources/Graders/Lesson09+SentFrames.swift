// Lesson 09: mistakes that show in the first bytes of what a program sent, whoever the other side was.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    /// What follows the request of a client is a frame, and its mask bit is not set.
    static let maskMissing = Cause("mask-missing") { evidence in
        let sends = evidence.timeline.calls.filter { $0.isSend && $0.result > 0 }
        guard let request = sends.first(where: { $0.data.starts(with: Array("GET ".utf8)) }),
            let frame = sends.first(where: {
                $0.descriptor == request.descriptor && $0.entered > request.entered && $0.data.isHeadOfFrame
            }), frame.data[1] & 0x80 == 0
        else { return nil }
        return frame.callText
    }

    /// A whole frame was sent, and read from its last byte on its extended length is right.
    static let sentLengthTurned = Cause("extended-length-little-endian") { evidence in
        evidence.timeline.calls.first { call in
            guard call.isSend, call.data.isHeadOfFrame else { return false }
            let form = call.data[1] & 0x7F == 126 ? 2 : 8
            guard call.data[1] & 0x7F >= 126, call.data.count >= 2 + form else { return false }
            let bytes = call.data[2..<(2 + form)]
            func number(_ bytes: some Sequence<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
            let payload = UInt64(max(0, call.length - 2 - form - (call.data[1] & 0x80 == 0 ? 0 : 4)))
            return number(bytes) != payload && number(bytes.reversed()) == payload
        }?.callText
    }

    /// What a server sends shows these, whatever was asked of it.
    static let sentFrames: [Cause] = [.masksAsServer, .finalBitMissing, .sentLengthTurned]

    /// A whole short frame was sent to a client, and its mask bit is set.
    private static let masksAsServer = Cause("server-masks") { evidence in
        evidence.timeline.calls.first { call in
            guard call.isSend, call.data.isHeadOfFrame, evidence.timeline.accepted(call.descriptor) else {
                return false
            }
            let length = Int(call.data[1] & 0x7F)
            return call.data[1] & 0x80 != 0 && length < 126 && call.length == 6 + length
        }?.callText
    }

    /// A ping with a payload came, and an empty pong went back.
    static let pongWithoutPayload = Cause("pong-with-other-payload") { evidence in
        let calls = evidence.timeline.calls
        for (index, ping) in calls.enumerated()
        where ping.isReceive && ping.result > 6 && ping.data.first == 0x89 && ping.data[1] > 0x80 {
            let pong = calls[(index + 1)...].first { $0.isSend && $0.descriptor == ping.descriptor }
            if let pong, pong.data == [0x8A, 0] { return pong.callText }
        }
        return nil
    }

    /// It heard a right frame of a client that others wrote, and called it wrong.
    static let refusedRightFrame = Cause("good-frame-refused") { evidence in
        ["received 1002", "received 1007", "received 1009"].contains { evidence.failure.got.contains($0) } ? "" : nil
    }

    /// A client's close frame came, and the connection was ended without one.
    static let endedWithoutClose = Cause("closed-without-close-frame") { evidence in
        let calls = evidence.timeline.calls
        guard
            let close = calls.last(where: {
                $0.isReceive && $0.result > 5 && $0.data.first == 0x88 && $0.data[1] & 0x80 != 0
            })
        else { return nil }
        let later = calls.filter { $0.entered > close.entered && $0.descriptor == close.descriptor }
        guard let end = later.first(where: { $0.name == "shutdown" || $0.name == "close" }),
            !later.contains(where: { $0.isSend })
        else { return nil }
        return end.callText
    }
}

extension [UInt8] {
    /// A text, a binary or a control frame, with FIN: no text looks so, since it is no UTF-8.
    fileprivate var isHeadOfFrame: Bool { count >= 2 && [0x81, 0x82, 0x88, 0x89, 0x8A].contains(self[0]) }
}
