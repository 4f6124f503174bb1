// One end of a libdatachannel connection: node libdatachannel_process.cjs caller|callee
// Lines of JSON in: {sdp}, {send: n}, {expect: n}, {cpu: 1}; out: {sdp}, {open: 1}, {received: n}, {cpu: seconds}.
const ndc = require('node-datachannel');
const role = process.argv[2];
const MESSAGE = Buffer.alloc(16 * 1024), HIGH = 1 << 20;
const peer = new ndc.PeerConnection(role, { iceServers: [], maxMessageSize: 262144 });
const say = what => process.stdout.write(JSON.stringify(what) + '\n');
let channel = null, left = 0, wanted = 0;
const go = () => {
  for (; left > 0 && channel.bufferedAmount() < HIGH; left -= MESSAGE.length) channel.sendMessageBinary(MESSAGE);
};
const use = made => {
  channel = made;
  channel.setBufferedAmountLowThreshold(HIGH / 2);
  channel.onBufferedAmountLow(go);
  channel.onOpen(() => say({ open: 1 }));
  channel.onMessage(message => {
    wanted -= message.length;
    if (wanted <= 0) say({ received: 1 });
  });
};
peer.onGatheringStateChange(state => state === 'complete' && say({ sdp: peer.localDescription().sdp }));
peer.onDataChannel(use);
require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
  const order = JSON.parse(line);
  if (order.sdp) peer.setRemoteDescription(order.sdp, role === 'caller' ? 'answer' : 'offer');
  if (order.send) { left = order.send; go(); }
  if (order.expect) wanted = order.expect;
  if (order.cpu) { const used = process.cpuUsage(); say({ cpu: (used.user + used.system) / 1e6 }); }
}).on('close', () => process.exit(0));
if (role === 'caller') use(peer.createDataChannel('bench'));
