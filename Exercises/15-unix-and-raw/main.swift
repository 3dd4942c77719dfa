// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson15(
        unixEchoServer: unixEchoServer,
        datagramRequest: datagramRequest,
        sendDescriptor: sendDescriptor,
        receiveDescriptor: receiveDescriptor,
        peerCredentials: peerCredentials,
        echoRequest: echoRequest,
        parseEchoReply: parseEchoReply,
        parseQuotedEcho: parseQuotedEcho,
        openPing: openPing,
        ping: ping,
        traceroute: traceroute))
