import Foundation

/// The page of the chat, for a browser: served by the chat server itself, so the page's origin is the server's own.
extension ChatRules {
    /// The rules of a room that people visit: its page, and the origins that this page can have.
    ///
    /// - Parameter host: as the server binds it. A page that comes from another machine's name for it may not connect.
    public static func room(host: String, port: UInt16) -> ChatRules {
        let hosts = ["localhost", "127.0.0.1", "[::1]", host.contains(":") ? "[\(host)]" : host]
        return ChatRules(
            allowedOrigins: hosts.map { port == 80 ? "http://\($0)" : "http://\($0):\(port)" }, page: page())
    }

    private static func page() -> [UInt8] { pageResponse(html) }
}

/// A whole HTTP response. The page may run its own script and style, known by a number that is made anew each time, load
/// nothing, and be in no other page's frame.
///
/// - Parameter html: makes the page for such a number.
func pageResponse(_ html: (_ nonce: String) -> String) -> [UInt8] {
    let nonce = String(UInt64.random(in: .min ... .max), radix: 36)
    let body = Array(html(nonce).utf8)
    let head = [
        "HTTP/1.1 200 OK", "Content-Type: text/html; charset=utf-8", "Content-Length: \(body.count)",
        "Connection: close", "Cache-Control: no-store", "X-Content-Type-Options: nosniff",
        "Referrer-Policy: no-referrer",
        "Content-Security-Policy: default-src 'none'; style-src 'nonce-\(nonce)'; script-src 'nonce-\(nonce)'; "
            + "connect-src 'self' ws:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "", "",
    ]
    return Array(head.joined(separator: "\r\n").utf8) + body
}

/// Keyboard alone will do: name, message, Enter. Light or dark as the system is; English or Chinese as the browser is.
private func html(_ nonce: String) -> String {
    #"""
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>SocketLab chat</title>
    <link rel="icon" href="data:,">
    <style nonce="\#(nonce)">
    \#(chatPageStyle)
    </style>
    </head>
    <body data-state="connecting">
    <header>
      <h1 data-text="title"></h1>
      <span id="status" role="status"></span>
      <button id="language" type="button"></button>
    </header>
    <ol id="log" role="log" tabindex="0" aria-live="polite"></ol>
    <form id="form" autocomplete="off">
      <div><label for="name" data-text="name"></label><input id="name" maxlength="40"></div>
      <div><label for="text" data-text="message"></label><input id="text" maxlength="2000" autofocus></div>
      <button id="send" data-text="send"></button>
    </form>
    <script nonce="\#(nonce)">
    "use strict";
    const words = {
      en: {
        title: "SocketLab chat", name: "Your name", message: "Message", send: "Send", guest: "guest", log: "Messages",
        connecting: "connecting…", open: "connected", closed: "not connected, trying again…", other: "中文",
        empty: "Nobody has said anything yet. Open this page a second time and talk to yourself.",
        joined: name => `${name} joined`, left: name => `${name} left`,
      },
      zh: {
        title: "SocketLab 聊天室", name: "你的名字", message: "消息", send: "发送", guest: "访客", log: "消息记录",
        connecting: "正在连接……", open: "已连接", closed: "没有连上，正在重试……", other: "English",
        empty: "还没有人说话。再开一个窗口打开本页，和自己聊聊。",
        joined: name => `${name} 来了`, left: name => `${name} 离开了`,
      },
    };
    const $ = id => document.getElementById(id);
    const asked = new URLSearchParams(location.search);
    let language = (asked.get("lang") || navigator.language).startsWith("zh") ? "zh" : "en";
    let socket, tries = 0;

    function speak() {
      const text = words[language];
      document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
      document.title = text.title;
      for (const element of document.querySelectorAll("[data-text]")) element.textContent = text[element.dataset.text];
      $("language").textContent = text.other;
      $("log").dataset.empty = text.empty;
      $("log").ariaLabel = text.log;
      $("status").textContent = text[document.body.dataset.state];
    }

    function setState(state) {
      document.body.dataset.state = state;
      $("status").textContent = words[language][state];
      $("send").disabled = state !== "open";
    }

    // textContent only: what others write is text, never HTML.
    function show(kind, name, text) {
      const log = $("log"), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      const item = document.createElement("li");
      item.className = kind;
      if (kind === "theirs") item.append(Object.assign(document.createElement("b"), { textContent: name }));
      item.append(text);
      if (kind !== "event") {
        const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
        item.append(Object.assign(document.createElement("time"), { textContent: time }));
      }
      log.append(item);
      while (log.childElementCount > 500) log.firstElementChild.remove();
      if (atEnd || kind === "mine") log.scrollTop = log.scrollHeight;
    }

    function receive(data) {
      const said = words[language];
      let message;
      try { message = JSON.parse(data); } catch { message = null; }
      // Other programs may be in the room, too: what is not our JSON is shown as it came.
      if (message === null || typeof message !== "object") return show("theirs", "", String(data));
      const name = String(message.from ?? "?");
      if (message.event === "joined" || message.event === "left") return show("event", name, said[message.event](name));
      show("theirs", name, String(message.text ?? data));
    }

    const me = () => $("name").value.trim() || words[language].guest;

    function connect() {
      setState("connecting");
      // The browser makes the handshake, masks every frame and answers pings: a page sees messages only.
      socket = new WebSocket("ws://" + location.host + "/");
      socket.onopen = () => {
        tries = 0;
        setState("open");
      };
      socket.onmessage = event => {
        if (typeof event.data === "string") receive(event.data);
      };
      socket.onclose = () => {
        setState("closed");
        // Twice as long each time, and not all pages at the same moment.
        setTimeout(connect, Math.min(15000, 500 * 2 ** tries++) * (0.5 + Math.random()));
      };
    }

    $("form").addEventListener("submit", event => {
      event.preventDefault();
      const text = $("text").value;
      if (text.trim() === "" || socket.readyState !== WebSocket.OPEN) return;
      socket.send(JSON.stringify({ from: me(), text }));
      show("mine", me(), text);
      $("text").value = "";
    });
    $("language").addEventListener("click", () => {
      language = language === "en" ? "zh" : "en";
      speak();
    });
    $("name").value = asked.get("name") ?? "";
    speak();
    connect();
    </script>
    </body>
    </html>

    """#
}

/// Of the pages of both chats, here and in lesson 14.
let chatPageStyle = """
    :root {
      color-scheme: light dark;
      --paper: light-dark(#f6f7f9, #14171c); --card: light-dark(#ffffff, #1c2027); --ink: light-dark(#1b1f24, #e8eaee);
      --quiet: light-dark(#59616c, #9aa4b2); --line: light-dark(#d8dde3, #323944); --mine: light-dark(#dcecff, #1f3b5c);
      --accent: light-dark(#0b5cad, #7db7f5); --on-accent: light-dark(#ffffff, #0c1520);
      --good: light-dark(#1a7f37, #4cc26b); --bad: light-dark(#b3261e, #ff8a80);
    }
    * { box-sizing: border-box; }
    html, body { height: 100%; margin: 0; }
    body {
      display: grid; grid-template-rows: auto 1fr auto; gap: .75rem; max-width: 46rem; margin: 0 auto; padding: 1rem;
      background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, "Noto Sans CJK SC", "PingFang SC", sans-serif;
    }
    header { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1rem; }
    h1 { font-size: 1.25rem; margin: 0; }
    #status { color: var(--quiet); flex: 1; }
    #status::before {
      content: ""; display: inline-block; width: .6rem; height: .6rem; border-radius: 50%; margin-right: .4rem;
      background: var(--quiet);
    }
    [data-state=open] #status::before { background: var(--good); }
    [data-state=closed] #status::before { background: var(--bad); }
    #log {
      margin: 0; padding: .75rem; overflow-y: auto; list-style: none; display: flex; flex-direction: column; gap: .5rem;
      background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
    }
    #log:empty::before { content: attr(data-empty); color: var(--quiet); margin: auto; text-align: center; }
    #log li { max-width: 85%; padding: .4rem .75rem; border-radius: .75rem; overflow-wrap: anywhere; white-space: pre-wrap; }
    #log .theirs { align-self: flex-start; background: var(--paper); border: 1px solid var(--line); }
    #log .mine { align-self: flex-end; background: var(--mine); }
    #log .event { align-self: center; color: var(--quiet); font-size: .875rem; padding: 0; }
    #log b { display: block; font-size: .8125rem; color: var(--accent); }
    #log time { display: block; font-size: .75rem; color: var(--quiet); text-align: right; }
    form { display: grid; grid-template-columns: 9rem 1fr auto; gap: .5rem; }
    label { display: block; margin-bottom: .25rem; font-size: .8125rem; color: var(--quiet); }
    input, button {
      font: inherit; color: inherit; padding: .5rem .75rem; border-radius: .5rem; border: 1px solid var(--line);
    }
    input { width: 100%; background: var(--card); }
    button { background: var(--card); cursor: pointer; }
    #send { align-self: end; background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
    button:disabled { opacity: .5; cursor: default; }
    :focus-visible { outline: 3px solid var(--accent); outline-offset: 0; }
    @media (max-width: 32rem) { form { grid-template-columns: 1fr auto; } form > :first-child { grid-column: 1 / -1; } }
    """
