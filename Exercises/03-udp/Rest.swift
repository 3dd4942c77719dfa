import Course
import Sockets

func timestampServer(host: String, port: UInt16) throws { todo() }
func request(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int) throws -> Answer { todo() }
func connectedClient(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] { todo() }
func broadcast(message: [UInt8], port: UInt16) throws { todo() }
func discover(port: UInt16, timeout: Milliseconds) throws -> [Discovered] { todo() }
func multicastSend(message: [UInt8], group: String, port: UInt16) throws { todo() }
func multicastReceive(group: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] { todo() }
