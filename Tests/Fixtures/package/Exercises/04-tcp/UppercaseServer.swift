// The stub of UppercaseServer.
func stubUppercaseServer() { todo("step 1: make a socket") }
