// Dates as HTTP writes them: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7). Always in GMT and in English, so not
// by the library's functions, which follow the language that the machine is set to.
import Sockets

private let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

private let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]

/// - Parameter seconds: since 1970.
func httpDate(_ seconds: Int) -> String {
    var time = time_t(seconds)
    var parts = tm()
    gmtime_r(&time, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(weekdays[Int(parts.tm_wday)]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon)]) "
        + "\(1900 + Int(parts.tm_year)) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
}

/// - Returns: seconds since 1970, or nil if it is no date. The two old forms are read, too: `Sunday, 06-Nov-94 08:49:37 GMT`
///   and `Sun Nov  6 08:49:37 1994`.
func httpDate(_ text: String) -> Int? {
    let words = text.split { " ,-".contains($0) }.map(String.init)
    let time: String
    let date: (day: String, month: String, year: String)
    if words.count == 6, words[5] == "GMT" {
        (date, time) = ((words[1], words[2], words[3]), words[4])
    } else if words.count == 5 {
        (date, time) = ((words[2], words[1], words[4]), words[3])
    } else {
        return nil
    }
    let clock = time.split(separator: ":", omittingEmptySubsequences: false).compactMap { number($0) }
    guard let month = months.firstIndex(of: date.month), let day = number(date.day[...]),
        var year = number(date.year[...]),
        (1...31).contains(day), clock.count == 3, clock[0] < 24, clock[1] < 60, clock[2] <= 60, year < 10_000
    else { return nil }
    // Two digits are of our time.
    if date.year.count == 2 { year += year < 70 ? 2000 : 1900 }
    return days(year, month + 1, day) * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2]
}

private func number(_ text: Substring) -> Int? {
    text.utf8.allSatisfy { (48...57).contains($0) } ? Int(text) : nil
}

/// From 1 January 1970 to this day: years begin in March here, so that a leap day is the last one.
private func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let shifted = month > 2 ? (year, month - 3) : (year - 1, month + 9)
    let century = shifted.0 / 100
    return 146_097 * century / 4 + 1461 * (shifted.0 % 100) / 4 + (153 * shifted.1 + 2) / 5 + day - 719_469
}
