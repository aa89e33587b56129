export { startServer, type RunningServer, type ServerOptions } from './start-server.ts';
export { createLogger, type LoggerOptions, type LogLevel } from './logging.ts';
export { defaultListenAddress, isLoopback, parseListenAddress, type ListenAddress } from './listen-address.ts';
