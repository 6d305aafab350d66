// node server.mjs PORT [REDIS_PORT]: aedes on 127.0.0.1, default settings, sessions in Redis or in memory.
import { createServer } from 'node:net'
import { Aedes } from 'aedes'

const [port, redisPort] = process.argv.slice(2).map(Number)
const options = {}
if (redisPort) {
  const { default: persistence } = await import('aedes-persistence-redis')
  const { default: mqemitter } = await import('mqemitter-redis')
  const redis = { host: '127.0.0.1', port: redisPort }
  options.persistence = persistence(redis)
  options.mq = mqemitter(redis)
  // without a listener the process ends when Redis is out of reach; ioredis itself connects again
  options.mq.state.on('error', (error) => console.error(`redis: ${error.message}`))
}
const broker = await Aedes.createBroker(options)
broker.on('error', (error) => console.error(`aedes: ${error.message}`))
createServer(broker.handle).listen(port, '127.0.0.1')
process.on('SIGTERM', () => process.exit(0))
