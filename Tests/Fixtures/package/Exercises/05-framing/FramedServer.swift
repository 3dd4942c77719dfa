func framedServer() { todo("step 1: decode") }
