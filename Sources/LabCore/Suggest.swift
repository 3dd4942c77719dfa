// "Did you mean": the nearest of the known names.

/// The name that takes the fewest edits from `word`; nil if none is near.
public func nearest(to word: String, among names: [String]) -> String? {
    let word = word.lowercased()
    let allowed = max(1, word.count / 3)
    let ranked = names.map { name -> (name: String, distance: Int) in
        let lower = name.lowercased()
        if word.count >= 2, lower.hasPrefix(word) || lower.split(separator: "-").contains(Substring(word)) {
            return (name, 0)
        }
        return (name, editDistance(word, lower))
    }
    // min(by:) keeps the first of equals: the order of the table decides.
    guard let best = ranked.min(by: { $0.distance < $1.distance }), best.distance <= allowed else { return nil }
    return best.name
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other
/// (Damerau–Levenshtein, optimal string alignment).
func editDistance(_ left: String, _ right: String) -> Int {
    let a = Array(left)
    let b = Array(right)
    var rows = [Array(0...b.count)]
    for i in 0..<a.count {
        var row = [i + 1]
        for j in 0..<b.count {
            var best = min(row[j] + 1, rows[i][j + 1] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
            row.append(best)
        }
        rows.append(row)
    }
    return rows[a.count][b.count]
}
