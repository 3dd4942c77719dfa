// Exercise 01 byte-order: turn numbers from this machine's byte order into the network's, and back.
//
// What you need: << >> & |, and withUnsafeBytes(of:) to see how a number lies in memory.
// Do it by hand: no htons, htonl, ntohs, ntohl, bigEndian, littleEndian or byteSwapped. They are the answer.
// Read: Lessons/01-byte-order/README.md      Check: lab check 01 byte-order
import Course

/// True if this machine keeps the least significant byte of a number first in memory.
func hostIsLittleEndian() -> Bool {
    // Step 1: take a number whose bytes differ, UInt16(1) for example, and look at its first byte in memory:
    //     withUnsafeBytes(of: UInt16(1)) { bytes in … bytes[0] … }
    todo("step 1: look at the first byte of a number in memory")
}

/// The number whose bytes in memory are those of `value` in network order: the most significant one first.
func hostToNetwork16(_ value: UInt16) -> UInt16 {
    // Step 2: on a little-endian machine the two bytes change places; on a big-endian one nothing moves.
    todo("step 2: put a 16-bit number into network order")
}

/// The same for 32 bits.
func hostToNetwork32(_ value: UInt32) -> UInt32 {
    // Step 3: four bytes, so four moves: the first goes to the place of the last, and so on.
    todo("step 3: put a 32-bit number into network order")
}

/// The same for 64 bits.
func hostToNetwork64(_ value: UInt64) -> UInt64 {
    // Step 4: eight moves, or two halves that you can already turn. Where does each half go?
    todo("step 4: put a 64-bit number into network order")
}

/// From network order back to this machine's.
func networkToHost16(_ value: UInt16) -> UInt16 {
    // Step 5: three functions are left. Must you write the same moves again?
    todo("step 5: put a 16-bit number back")
}

/// The same for 32 bits.
func networkToHost32(_ value: UInt32) -> UInt32 {
    todo("step 5: put a 32-bit number back")
}

/// The same for 64 bits.
func networkToHost64(_ value: UInt64) -> UInt64 {
    todo("step 5: put a 64-bit number back")
}
