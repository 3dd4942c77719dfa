// Exercise 08 path-names: from the target of a request to names in a folder, and never out of it.
//
// Read: Lessons/08-http/README.md#from-a-target-to-a-file      Check: lab check 08 path-names
import Course

/// The names on the way from the root to what is asked for.
///
///     /                    []                  /a%20b/c?q=1          ["a b", "c"]
///     /docs/  and  /docs   ["docs"]            http://host:80/x      ["x"]          (absolute form)
///     //a/./b              ["a", "b"]          /caf%C3%A9            ["café"]
///
/// - Returns: nil for a target that must not be looked up: one that is neither `/…` nor `http://…`, a `%` without two
///   hexadecimal digits, a name that after decoding is `..`, has a `/`, a `\` or a zero byte, or is not UTF-8.
func pathNames(target: String) -> [String]? {
    // Step 1: is it `/…`? In the absolute form the path begins at the first `/` after the host (none: it is `/`).
    // Step 2: what stands behind the first `?` is the query: not a part of the path.
    // Step 3: cut at each `/` first, decode then. Why in this order?
    // Step 4: %XX is one byte. Decode once: `%252e` is the name `%2e`, not a dot.
    // Step 5: empty names and `.` lead nowhere: leave them out. `..` would lead up: nil.
    todo("step 1: the path of the target")
}
