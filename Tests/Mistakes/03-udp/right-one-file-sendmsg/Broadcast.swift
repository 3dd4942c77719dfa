// Broadcast: all of the lesson is in UppercaseServer.swift.
import Course
import Sockets
