// Runs in CloudFront, on each request for what is not below /assets/. A path that names no file is the page's own, and
// gets the page. What looks like a file, as /config.json, is never answered with it: whoever asks for that wants to know
// that it is not there.
function handler(event) {
  const request = event.request;
  const last = request.uri.slice(request.uri.lastIndexOf("/") + 1);
  if (!last.includes(".")) request.uri = "/index.html";
  return request;
}
