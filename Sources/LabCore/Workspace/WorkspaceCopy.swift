// A second package beside the first one: the same lab, by symbolic links, but exercises and build products of its own.
// What is edited and built there changes nothing of the student's.
import Course
import Foundation

extension Workspace {
    /// Makes `folder` such a copy, or brings it up to date; what was built in it stays.
    public func copy(to folder: URL) throws(CommandError) -> Workspace {
        let files = FileManager.default
        do {
            try files.createDirectory(at: folder, withIntermediateDirectories: true)
            let exercises = folder.appendingPathComponent("Exercises")
            if files.fileExists(atPath: exercises.path) { try files.removeItem(at: exercises) }
            try files.copyItem(at: root.appendingPathComponent("Exercises"), to: exercises)
            for name in try files.contentsOfDirectory(atPath: root.path)
            where !name.hasPrefix(".") && name != "Exercises" {
                let link = folder.appendingPathComponent(name)
                if (try? files.destinationOfSymbolicLink(atPath: link.path)) != nil { try files.removeItem(at: link) }
                try files.createSymbolicLink(at: link, withDestinationURL: root.appendingPathComponent(name))
            }
        } catch {
            throw .failure(
                say("\(folder.path) cannot be made: \(reason(error)).", "建不了 \(folder.path)：\(reason(error))。"))
        }
        return Workspace(root: folder)
    }

    /// The lesson as somebody would have it who wrote the reference.
    public func putReference(_ lesson: Catalogue.Lesson) throws(CommandError) {
        for exercise in lesson.exercises {
            do {
                let text = try Data(contentsOf: solution(exercise, of: lesson))
                try writeAtomically(text, to: file(exercise, of: lesson))
            } catch let error as CommandError { throw error } catch {
                throw .failure("\(relative(solution(exercise, of: lesson))): \(reason(error))")
            }
        }
    }
}
