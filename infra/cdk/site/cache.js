// Runs in CloudFront, on each file before it goes to the browser, but not on errors: nobody shall remember for a year that
// a file is missing.
function handler(event) {
  const uri = event.request.uri;
  let rule = "no-cache"; // it is asked for again, and is often the same
  if (uri.startsWith("/assets/")) rule = "public, max-age=31536000, immutable"; // names carry a hash
  if (uri === "/config.json") rule = "no-store";
  event.response.headers["cache-control"] = { value: rule };
  return event.response;
}
