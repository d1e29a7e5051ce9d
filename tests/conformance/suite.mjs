// Runs the public HTTP cache test-suite against a node and prints one line of JSON a test. Arguments: the suite's folder, the
// node's address. The suite's origin is another process, behind the node; set-up goes through the node, too.
import http from 'node:http'
import path from 'node:path'

const [folder, node] = process.argv.slice(2)
const load = (file) => import(path.join(folder, file))
const { default: suites } = await load('tests/index.mjs')
const { runTests, getResults } = await load('client/runner.mjs')

// What the suite needs of fetch(), with the header fields that a test has, and no others.
function plainFetch (url, { method = 'GET', headers = [], body } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method }, (response) => {
      const fields = new Headers()
      for (let i = 0; i < response.rawHeaders.length; i += 2) fields.append(response.rawHeaders[i], response.rawHeaders[i + 1])
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => resolve({
        status: response.statusCode, statusText: response.statusMessage, headers: fields, text: async () => Buffer.concat(chunks).toString()
      }))
    })
    request.on('error', reject)
    const names = new Set(headers.map(([name]) => name.toLowerCase()))
    for (const name of names) request.setHeader(name, headers.filter(([other]) => other.toLowerCase() === name).map(([, value]) => value))
    if (body !== undefined) request.setHeader('content-length', Buffer.byteLength(body))
    request.end(body)
  })
}

await runTests(suites, plainFetch, false, node)
const results = getResults()
const tests = new Map(suites.flatMap((suite) => suite.tests).map((test) => [test.id, test]))
// A test tells nothing where what it builds upon does not hold; the suite's own tables leave it out then.
const holds = (id) => results[id] === true && (tests.get(id).depends_on ?? []).every(holds)
for (const [id, result] of Object.entries(results)) {
  const { kind = 'required' } = tests.get(id)
  const story = result === true ? '' : result.join(': ')
  console.log(JSON.stringify({ id, kind, passed: result === true, counts: holds(id), story }))
}
process.exit(0)
