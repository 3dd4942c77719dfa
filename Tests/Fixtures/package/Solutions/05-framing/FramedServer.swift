func framedServer() { decode() }
