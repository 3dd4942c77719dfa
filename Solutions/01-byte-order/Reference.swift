import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson01 {
    Lesson01(
        hostToNetwork16: hostToNetwork16,
        hostToNetwork32: hostToNetwork32,
        hostToNetwork64: hostToNetwork64,
        networkToHost16: networkToHost16,
        networkToHost32: networkToHost32,
        networkToHost64: networkToHost64,
        hostIsLittleEndian: hostIsLittleEndian,
        encodeHeader: encodeHeader,
        decodeHeader: decodeHeader,
        internetChecksum: internetChecksum)
}
