// The reference of UppercaseServer.
func stubUppercaseServer() { real() }
