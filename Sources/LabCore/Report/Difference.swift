// Two texts compared line by line, in the form of diff(1) -u.

public struct LineDifference: Equatable, Sendable {
    public enum Line: Equatable, Sendable {
        case same(String)
        case old(String)
        case new(String)
    }

    public var lines: [Line]

    public init(from old: String, to new: String) {
        let old = old.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let new = new.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let changes = new.difference(from: old)
        var (removed, inserted): (Set<Int>, Set<Int>) = ([], [])
        for change in changes {
            switch change {
            case .remove(let offset, _, _): removed.insert(offset)
            case .insert(let offset, _, _): inserted.insert(offset)
            }
        }
        var lines: [Line] = []
        var (i, j) = (0, 0)
        while i < old.count || j < new.count {
            if removed.contains(i), i < old.count {
                lines.append(.old(old[i]))
                i += 1
            } else if inserted.contains(j), j < new.count {
                lines.append(.new(new[j]))
                j += 1
            } else {
                lines.append(.same(old[i]))
                i += 1
                j += 1
            }
        }
        self.lines = lines
    }

    public var isEmpty: Bool {
        lines.allSatisfy {
            if case .same = $0 { return true }
            return false
        }
    }

    /// - Parameter context: equal lines shown around each change.
    public func text(old: String, new: String, context: Int = 3) -> [StyledText] {
        var text = [StyledText("--- \(old)", .bad), StyledText("+++ \(new)", .good)]
        var (i, j) = (1, 1)
        let changed = lines.indices.filter {
            if case .same = lines[$0] { return false }
            return true
        }
        var shown = Set<Int>()
        for index in changed { shown.formUnion(max(0, index - context)...min(lines.count - 1, index + context)) }
        var inside = false
        for (index, line) in lines.enumerated() {
            if shown.contains(index) {
                if !inside { text.append(StyledText("@@ -\(i) +\(j) @@", .quiet)) }
                inside = true
                switch line {
                case .same(let content): text.append(StyledText(" " + clean(content), .quiet))
                case .old(let content): text.append(StyledText("-" + clean(content), .bad))
                case .new(let content): text.append(StyledText("+" + clean(content), .good))
                }
            } else {
                inside = false
            }
            switch line {
            case .same: (i, j) = (i + 1, j + 1)
            case .old: i += 1
            case .new: j += 1
            }
        }
        return text
    }

    private func clean(_ line: String) -> String { visibleLines(line).joined() }
}
