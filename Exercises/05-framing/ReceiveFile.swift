// Exercise 05 receive-file: receive a file into a folder: all of it, or nothing, and nowhere else.
//
// Calls that you need: recv(2), open(2), write(2), close(2), rename(2), unlink(2), and your `receiveExactly` of lesson 04.
// Read: Lessons/05-framing/README.md      Check: lab check 05 receive-file
import Course
import Sockets

/// - Parameter socket: connected. Read no byte past the end of the file: another one may follow.
/// - Parameter folder: exists. Nothing outside it is touched.
/// - Returns: the name under which the file is now in the folder. A file that had this name is replaced.
/// - Throws: `TransferError.badName`, `TransferError.cutShort(after:)` with the number of bytes of content that came,
///   or the error of a call that failed. Then the folder is as it was.
func receiveFile(socket: Int32, folder: String) throws -> String {
    // Step 1: receive the length of the name (u16), the name, and the size (u64). All of it comes from a stranger.
    todo("step 1: receive the header")

    // Step 2: refuse a name that is empty, "." or "..", has a "/" or a zero byte in it, or is not UTF-8.
    //     String(decoding: bytes, as: UTF8.self) repairs what is not UTF-8: is the result still the same bytes?

    // Step 3: write the content to a file with a temporary name in the same folder, a piece at a time. Do not believe the
    //     size: it may be larger than your disk, than your memory, or than Int.

    // Step 4: all here? rename(2) it. That replaces an old file of that name in one step.

    // Step 5: not all here? Close the file and remove it.
}
