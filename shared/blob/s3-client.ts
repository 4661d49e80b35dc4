import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { rootCertificates } from 'node:tls';
import { S3Client } from '@aws-sdk/client-s3';

export interface S3Options {
  readonly endpoint: string;
  /** What presigned URLs name, when agents and people reach the server by another address. Default: `endpoint`. */
  readonly publicEndpoint?: string;
  readonly region: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** PEM of the authority that signed the server's certificate, when the system does not know it. */
  readonly ca?: string;
  /** `endpoint/bucket/key` (default) or `bucket.endpoint/key`. */
  readonly pathStyle?: boolean;
}

/** The SDK's client as Gantry needs it, for the given one of the two endpoints. */
export function s3Client(options: S3Options, endpoint: string): S3Client {
  // The SDK would tell everybody who starts Gantry on Node 20 that its later versions need 22. They are not what is installed.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const keepAlive = { keepAlive: true, maxSockets: 64 };
  const ca = options.ca === undefined ? {} : { ca: [...rootCertificates, options.ca] };
  return new S3Client({
    endpoint,
    region: options.region,
    credentials: { accessKeyId: options.accessKey, secretAccessKey: options.secretKey },
    forcePathStyle: options.pathStyle ?? true,
    // With the default, bodies travel as aws-chunked with a trailing checksum, which some servers refuse and others store as
    // it came. Gantry verifies content by its own SHA-256.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Its default writes to the console that a stream cannot be sent again; the error itself says what happened.
    logger: { debug: silence, info: silence, warn: silence, error: silence },
    requestHandler: {
      connectionTimeout: 5_000,
      // Of silence, not of the whole request: a large put takes longer.
      socketTimeout: 60_000,
      httpAgent: new HttpAgent(keepAlive),
      httpsAgent: new HttpsAgent({ ...keepAlive, ...ca }),
    },
  });
}

const silence = (): void => undefined;
