// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson02(
        parseAddress: parseAddress,
        formatAddress: formatAddress,
        parseIPv4: parseIPv4,
        socketAddress: socketAddress,
        unixSocketAddress: unixSocketAddress,
        parseEndpoint: parseEndpoint,
        resolve: resolve,
        describeSocket: describeSocket))
