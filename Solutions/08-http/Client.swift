import Course

struct Client: HTTPClient {
    let options: ClientOptions
    init(options: ClientOptions) { self.options = options }
    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse {
        todo("reference: being written")
    }
}
