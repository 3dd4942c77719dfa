// The stub of SendAll.
func stubSendAll() { todo("step 1: make a socket") }
