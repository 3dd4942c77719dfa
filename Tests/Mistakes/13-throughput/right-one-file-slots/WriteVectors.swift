// WriteVectors: all of the lesson is in BufferedSocket.swift.
import Course
import Sockets
