// libdatachannel as a peer: descriptions as JSON lines on stdin and stdout; sends COUNT messages of SIZE bytes,
// expects as many. Usage: node libdatachannel_peer.cjs caller|callee SIZE COUNT
const ndc = require('node-datachannel');
const [role, size, count] = [process.argv[2], +process.argv[3], +process.argv[4]];
const peer = new ndc.PeerConnection('peer', { iceServers: [], maxMessageSize: 262144 });
const say = what => process.stdout.write(JSON.stringify(what) + '\n');
const keep = [];  // channels nobody refers to are collected
let received = 0;
let wrong = 0;
peer.onGatheringStateChange(state => state === 'complete' && say({ sdp: peer.localDescription().sdp }));
peer.onDataChannel(channel => {
  keep.push(channel);
  channel.onMessage(message => {
    const expected = Math.floor(received / size) % 251;
    if (message[0] !== expected || message[message.length - 1] !== expected) wrong++;
    received += message.length;
    if (received >= size * count) say({ received, wrong });
  });
});
function start() {
  const channel = peer.createDataChannel('lib');
  keep.push(channel);
  let sent = 0;
  const go = () => {
    for (; sent < count && channel.bufferedAmount() < 1 << 20; sent++) {
      channel.sendMessageBinary(Buffer.alloc(size, sent % 251));
    }
  };
  channel.setBufferedAmountLowThreshold(1 << 18);
  channel.onBufferedAmountLow(go);
  channel.onOpen(go);
}
require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
  peer.setRemoteDescription(JSON.parse(line).sdp, role === 'caller' ? 'answer' : 'offer');
  if (role === 'callee') start();
}).on('close', () => process.exit(0));
if (role === 'caller') start();
