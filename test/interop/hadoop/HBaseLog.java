import java.util.concurrent.ExecutionException;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hbase.io.asyncfs.AsyncFSOutput;
import org.apache.hadoop.hbase.io.asyncfs.AsyncFSOutputHelper;
import org.apache.hadoop.hbase.io.asyncfs.monitor.StreamSlowMonitor;
import org.apache.hbase.thirdparty.io.netty.channel.EventLoopGroup;
import org.apache.hbase.thirdparty.io.netty.channel.nio.NioEventLoopGroup;
import org.apache.hbase.thirdparty.io.netty.channel.socket.nio.NioSocketChannel;

/**
 * HBase's own writer of write-ahead logs, which sends every packet to all datanodes itself, for hadoop-frameworks.ts.
 *
 *   HBaseLog URI PATH N   N entries of 1000 bytes, each synced, says "synced I" after each; when a datanode fails, it
 *                         recovers and closes the file as HBase does, and checks that nothing synced is missing
 *
 * The byte at offset i of the file is always pattern(i).
 */
public final class HBaseLog {
  private static final int ENTRY = 1000;

  public static void main(String[] args) throws Exception {
    Configuration conf = new Configuration();
    conf.set("fs.defaultFS", args[0]);
    FileSystem fs = FileSystem.get(conf);
    Path path = new Path(args[1]);
    EventLoopGroup group = new NioEventLoopGroup(1);
    AsyncFSOutput out = AsyncFSOutputHelper.createOutput(fs, path, true, false, (short) 3, 1 << 20, group,
        NioSocketChannel.class, StreamSlowMonitor.create(conf, "test"), false);
    System.out.println("pipeline " + out.getPipeline().length);
    long synced = write(out, Integer.parseInt(args[2]));
    boolean isWhole = synced == (long) Integer.parseInt(args[2]) * ENTRY;
    if (isWhole) {
      out.close();
    } else {
      System.out.println("failed after " + synced);
      out.recoverAndClose(null);
    }
    long length = verified(fs, path);
    if (length < synced || (isWhole && length != synced)) {
      throw new AssertionError("synced " + synced + " bytes, found " + length);
    }
    System.out.println("ok " + length);
    System.exit(0);
  }

  /** Returns how many bytes were acknowledged as synced. */
  private static long write(AsyncFSOutput out, int entries) throws InterruptedException {
    long synced = 0;
    for (int entry = 0; entry < entries; entry++) {
      out.write(bytes((long) entry * ENTRY, ENTRY));
      try {
        synced = out.flush(true).get();
      } catch (ExecutionException e) {
        return synced;
      }
      System.out.println("synced " + (entry + 1));
      Thread.sleep(20);
    }
    return synced;
  }

  private static byte[] bytes(long from, int count) {
    byte[] data = new byte[count];
    for (int i = 0; i < count; i++) data[i] = (byte) ((from + i) * 31 + ((from + i) >> 8));
    return data;
  }

  private static long verified(FileSystem fs, Path path) throws Exception {
    try (FSDataInputStream in = fs.open(path)) {
      byte[] buffer = new byte[65536];
      long offset = 0;
      for (int count; (count = in.read(buffer)) >= 0; offset += count) {
        byte[] wanted = bytes(offset, count);
        for (int i = 0; i < count; i++) {
          if (buffer[i] != wanted[i]) throw new AssertionError("differs at " + (offset + i));
        }
      }
      return offset;
    }
  }
}
