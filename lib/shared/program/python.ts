/**
 * Serves a Python function by HTTP: `python3 -c <this> <module:function>`, with its folder and libraries on
 * PYTHONPATH. Listens on 127.0.0.1 at $PORT, 9000 by default, and ends when its input is closed, if it is told to
 * watch that by MILLRACE_WATCH.
 */
export const PYTHON_SERVER = `
import importlib, json, os, sys, threading, traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

module, name = sys.argv[1].split(":")
function = getattr(importlib.import_module(module), name)

def watch():
    sys.stdin.buffer.read()
    os._exit(0)

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, "{}")

    def do_POST(self):
        try:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, text = 200, json.dumps(function(json.loads(body or b"null")), allow_nan=False)
        except Exception as error:
            status, text = 500, json.dumps({
                "errorType": type(error).__name__,
                "errorMessage": str(error),
                "stackTrace": traceback.format_exc().splitlines(),
            })
        self.answer(status, text)

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

if os.environ.get("MILLRACE_WATCH"):
    threading.Thread(target=watch, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Handler).serve_forever()
`;

/** Where a package of Python keeps the user's folder, and the libraries beside it. */
export const PYTHON_FOLDER = "folder";
export const PYTHON_LIBRARIES = "libraries";

/** The module that a platform calls, in its own words `<module>.handler`: no user's module is called so. */
export const PYTHON_HANDLER = "millrace_handler";

/**
 * The text of the module that a platform of functions calls: it finds the user's folder and libraries beside itself.
 *
 * @param entry `module:function`
 * @param payload how the platform gives and takes a payload: as the `bytes` of its JSON, or as the `value` itself
 * @see https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/event-handlers-2
 * @see https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html
 */
export const pythonHandler = (entry: string, payload: "bytes" | "value"): string => {
  const [module, name] = entry.split(":");
  return `import importlib, json, os, sys

root = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(root, "${PYTHON_FOLDER}"), os.path.join(root, "${PYTHON_LIBRARIES}")]
function = getattr(importlib.import_module("${module}"), "${name}")


def handler(event, context):
    result = function(${payload === "bytes" ? 'json.loads(event or b"null")' : "event"})
    text = json.dumps(result, allow_nan=False)
    return ${payload === "bytes" ? "text" : "result"}
`;
};
