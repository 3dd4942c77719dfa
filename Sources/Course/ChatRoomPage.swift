/// The page of the chat room of lesson 14: the protocol of Lessons/14-chat-room/PROTOCOL.md, in a browser's words.
var chatRoomPage: [UInt8] { pageResponse(html) }

/// Keyboard alone will do: name, Enter, message, Enter.
private func html(_ nonce: String) -> String {
    #"""
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>SocketLab chat room</title>
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
      <div><label for="name" data-text="name"></label><input id="name" maxlength="32"></div>
      <div><label for="text" data-text="message"></label><input id="text" maxlength="1000" disabled></div>
      <button id="send"></button>
    </form>
    <script nonce="\#(nonce)">
    "use strict";
    const words = {
      en: {
        title: "Chat room", name: "Your name", message: "Message", join: "Join", send: "Send", log: "Messages",
        connecting: "connecting…", open: "connected: join with a name", joined: "in the room",
        closed: "not connected, trying again…", other: "中文", empty: "Join, and say something.",
        user_joined: name => `${name} has come`, user_left: name => `${name} has gone`,
        problems: {
          bad_name: "A name has no spaces, and at most 32 bytes.", name_taken: "Somebody here has this name.",
          bad_content: "A message has at most 4,096 bytes.",
        },
      },
      zh: {
        title: "聊天室", name: "你的名字", message: "消息", join: "进入", send: "发送", log: "消息记录",
        connecting: "正在连接……", open: "已连接：输入名字进入", joined: "已在聊天室中",
        closed: "没有连上，正在重试……", other: "English", empty: "进来说点什么吧。",
        user_joined: name => `${name} 来了`, user_left: name => `${name} 离开了`,
        problems: {
          bad_name: "名字里不能有空格，最多 32 字节。", name_taken: "聊天室里已经有人叫这个名字。",
          bad_content: "一条消息最多 4096 字节。",
        },
      },
    };
    const $ = id => document.getElementById(id);
    const asked = new URLSearchParams(location.search);
    let language = (asked.get("lang") || navigator.language).startsWith("zh") ? "zh" : "en";
    let socket, tries = 0, myName = "", lastID = 0;

    function speak() {
      const text = words[language];
      document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
      document.title = text.title;
      for (const element of document.querySelectorAll("[data-text]")) element.textContent = text[element.dataset.text];
      $("language").textContent = text.other;
      $("log").dataset.empty = text.empty;
      $("log").ariaLabel = text.log;
      setState(document.body.dataset.state);
    }

    function setState(state) {
      const isIn = state === "joined", text = words[language];
      document.body.dataset.state = state;
      $("status").textContent = text[state];
      $("send").textContent = isIn ? text.send : text.join;
      $("send").disabled = state !== "open" && !isIn;
      $("text").disabled = !isIn;
      $("name").disabled = isIn;
    }

    // textContent only: what others write is text, never HTML.
    function show(kind, name, text, time) {
      const log = $("log"), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      const item = document.createElement("li");
      item.className = kind;
      if (kind === "theirs") item.append(Object.assign(document.createElement("b"), { textContent: name }));
      item.append(text);
      if (time !== undefined) {
        const clock = new Date(time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
        item.append(Object.assign(document.createElement("time"), { textContent: clock }));
      }
      log.append(item);
      while (log.childElementCount > 500) log.firstElementChild.remove();
      if (atEnd || kind === "mine") log.scrollTop = log.scrollHeight;
    }

    const say = message => socket.send(JSON.stringify(message));
    const login = () => say({ type: "login", username: myName });

    function complain(code) {
      show("event", "", words[language].problems[code] ?? code);
    }

    function receive(message) {
      switch (message.type) {
        case "login_response":
          if (!message.success) {
            myName = "";
            setState("open");
            $("name").focus();
            return complain(message.code);
          }
          setState("joined");
          $("text").focus();
          break;
        case "chat_message":
          // The history brings what was shown before the connection broke.
          if (message.id <= lastID) return;
          lastID = message.id;
          show(message.username === myName ? "mine" : "theirs", message.username, message.content, message.timestamp);
          break;
        case "user_joined": case "user_left":
          show("event", "", words[language][message.type](message.username));
          break;
        case "error": complain(message.code); break;
      }
    }

    function connect() {
      setState("connecting");
      socket = new WebSocket("ws://" + location.host + "/");
      socket.onopen = () => {
        tries = 0;
        setState("open");
        if (myName !== "") login();
      };
      socket.onmessage = event => {
        if (typeof event.data === "string") receive(JSON.parse(event.data));
      };
      socket.onclose = () => {
        setState("closed");
        // Twice as long each time, and not all pages at the same moment.
        setTimeout(connect, Math.min(15000, 500 * 2 ** tries++) * (0.5 + Math.random()));
      };
    }

    $("form").addEventListener("submit", event => {
      event.preventDefault();
      if (socket.readyState !== WebSocket.OPEN) return;
      if (document.body.dataset.state === "joined") {
        const content = $("text").value;
        if (content.trim() === "") return;
        say({ type: "chat", content });
        $("text").value = "";
      } else {
        myName = $("name").value.trim();
        if (myName !== "") login();
      }
    });
    $("language").addEventListener("click", () => {
      language = language === "en" ? "zh" : "en";
      speak();
    });
    $("name").value = asked.get("name") ?? "";
    // Not by autofocus, which browsers come to later: somebody may press Enter as soon as the page says that it is open.
    $("name").focus();
    speak();
    connect();
    </script>
    </body>
    </html>

    """#
}
