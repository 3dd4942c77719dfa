// The reference of SendAll.
func stubSendAll() { real() }
