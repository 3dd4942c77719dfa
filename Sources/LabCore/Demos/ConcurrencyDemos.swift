// The pool and the tasks of lesson 12, call by call: pool-echo, async-echo.
import Course

extension Demo {
    static let poolEcho = Demo(
        "pool-echo", Lesson12.slug, "the same server with four threads and a queue", "同一个服务器：四个线程和一个队列", port: 12000,
        [.serve, .client, .mine]
    ) { play in
        try play.converseWithThree(
            "pool-server",
            say(
                "Three clients are connected and take turns; each has one of the pool's four threads. Connect two more with nc, "
                    + "in other windows: the second waits until somebody leaves.",
                "三个客户端都已连上，轮流说话，各占池里四个线程中的一个。另开窗口再用 nc 连两个：第二个要等到有人离开。"))
    }

    static let asyncEcho = Demo(
        "async-echo", Lesson12.slug, "the same server with a task for each client", "同一个服务器：每个客户端一个任务", port: 12000,
        [.serve, .client, .mine]
    ) { play in
        try play.converseWithThree(
            "async-server",
            say(
                "Three clients are connected and take turns. No call waits: where recv says EAGAIN the task is put aside, and the "
                    + "thread runs another one. The same client may be served by another thread each time.",
                "三个客户端都已连上，轮流说话。没有一个调用在等：recv 返回 EAGAIN 时，任务被搁到一边，线程去运行别的任务。"
                    + "同一个客户端每次可能由不同的线程服务。"))
    }
}
