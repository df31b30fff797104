// A js-ipfs node for tests: offline, its RPC and gateway on loopback, BLAKE3 among its hashes.
//     node --require ./polyfill.cjs node.mjs REPO PORT GATEWAY_PORT
import { Daemon } from 'ipfs-daemon'
import { blake3 } from '@noble/hashes/blake3'
import { from } from 'multiformats/hashes/hasher'

const [repo, port, gateway] = process.argv.slice(2)
const hasher = from({ name: 'blake3', code: 0x1e, encode: (data) => blake3(data) })
const daemon = new Daemon({
  offline: true,
  silent: true,
  repo,
  ipld: { hashers: [hasher] },
  init: { emptyRepo: true },
  config: {
    Addresses: {
      Swarm: [],
      API: `/ip4/127.0.0.1/tcp/${port}`,
      Gateway: `/ip4/127.0.0.1/tcp/${gateway}`,
      RPC: '',
    },
    Bootstrap: [],
    Discovery: { MDNS: { Enabled: false }, webRTCStar: { Enabled: false } },
  },
})
process.on('SIGTERM', () => daemon.stop().finally(() => process.exit(0)))
await daemon.start()
console.log('ready')
