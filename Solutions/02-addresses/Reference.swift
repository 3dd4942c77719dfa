import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson02 {
    Lesson02(
        parseAddress: parseAddress,
        formatAddress: formatAddress,
        parseIPv4: parseIPv4,
        socketAddress: socketAddress,
        unixSocketAddress: unixSocketAddress,
        parseEndpoint: parseEndpoint,
        resolve: resolve,
        describeSocket: describeSocket)
}
