import Course

func storeServer(host: String, port: UInt16) throws { todo("reference: being written") }
