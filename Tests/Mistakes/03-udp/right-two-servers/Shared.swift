import Sockets

let roomForDatagram = 65_535

func retryingInterrupts(_ call: () -> Int) -> Int {
    var result = call()
    while result == -1 && errno == EINTR { result = call() }
    return result
}
