// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson09(
        acceptKey: acceptKey,
        serverHandshake: serverHandshake,
        clientRequest: clientRequest,
        checkAnswer: checkAnswer,
        encodeFrame: { encodeFrame($0, $1, isFinal: $2, mask: $3) },
        makeFrameDecoder: { role, limit in FrameDecoder(role: role, limit: limit) },
        echoServer: echoServer,
        jsonEchoServer: jsonEchoServer,
        openClient: openClient,
        chatServer: chatServer,
        heartbeatServer: heartbeatServer))
