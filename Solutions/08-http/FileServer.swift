import Course

func fileServer(host: String, port: UInt16, root: String) throws { todo("reference: being written") }
