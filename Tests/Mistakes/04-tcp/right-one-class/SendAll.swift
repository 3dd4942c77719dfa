// All of it is in Client.swift.
