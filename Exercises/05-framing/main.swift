// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson05(
        makeLineDecoder: { limit in LineDecoder(limit: limit) },
        makeFrameDecoder: { limit in FrameDecoder(limit: limit) },
        encodeFrame: encodeFrame,
        framedEchoServer: framedEchoServer,
        sendFile: sendFile,
        receiveFile: receiveFile))
