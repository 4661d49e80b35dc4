/**
 * Own subnets for networks: Docker's default pools hold about 30 networks for the whole machine. A /28 is enough for
 * a stage's services, a /22 for the boxes of an agent.
 */
export interface Subnet {
  readonly base: number;
  readonly bits: number;
}

/** 10.213.0.0/16: a part of 10/8 that few use; what is routed elsewhere is skipped. */
const poolBase = (10 << 24) | (213 << 16);
const poolBits = 16;

export const formatSubnet = ({ base, bits }: Subnet): string =>
  `${[24, 16, 8, 0].map((shift) => (base >>> shift) & 255).join('.')}/${bits}`;

const maskOf = (bits: number): number => (bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0);

export function overlap(a: Subnet, b: Subnet): boolean {
  const mask = maskOf(Math.min(a.bits, b.bits));
  return (a.base & mask) >>> 0 === (b.base & mask) >>> 0;
}

/** `/proc/net/route`: hexadecimal, in the machine's byte order (little-endian on all that Docker runs on). */
export function parseRoutes(table: string): readonly Subnet[] {
  const swap = (hex: string): number => Buffer.from(hex, 'hex').readUInt32LE(0);
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter((fields) => /^[0-9A-F]{8}$/.test(fields[1] ?? '') && /^[0-9A-F]{8}$/.test(fields[7] ?? ''))
    .map((fields) => {
      const mask = swap(fields[7] ?? '');
      const bits = mask === 0 ? 0 : 32 - Math.log2(((~mask >>> 0) + 1) >>> 0 || 1);
      return { base: swap(fields[1] ?? ''), bits };
    })
    .filter((route) => route.bits > 0);
}

/** The n-th subnet to try, from a start of the caller's choice; undefined where the machine routes it elsewhere. */
export function candidateSubnet(choice: {
  readonly start: number;
  readonly attempt: number;
  readonly bits: number;
  readonly routes: readonly Subnet[];
}): Subnet | undefined {
  const { bits } = choice;
  const index = (choice.start + choice.attempt) % (1 << (bits - poolBits));
  const subnet = { base: (poolBase + index * 2 ** (32 - bits)) >>> 0, bits };
  return choice.routes.some((route) => overlap(route, subnet)) ? undefined : subnet;
}
