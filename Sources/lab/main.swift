// The command line. Everything that it can do is a `Command`; everything that needs no terminal is in LabCore.
import Foundation
import LabCore
import Sockets

// A lesson process hosted by this executable must not have seen any of the rest.
if CommandLine.arguments.dropFirst().first == "host" { host(CommandLine.arguments.dropFirst(2)) }

Interrupts.install()
// A reader that leaves (`lab list | head`) shows as EPIPE, so that what must be undone is undone: `Console.print`.
signal(SIGPIPE, SIG_IGN)
exit(runLab(Array(CommandLine.arguments.dropFirst())).rawValue)
